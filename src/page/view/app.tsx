import { useEffect, useMemo, useState } from "preact/hooks";

import { pageAddress } from "../address.ts";
import type { Piece, Question } from "../chat/answer.ts";
import { Chat } from "../chat/chat.ts";
import { History, localStorageOrNone } from "../chat/history.ts";
import { passesStreams } from "../chat/host.ts";
import { pollAnswer } from "../chat/poll.ts";
import { NO_SETTINGS, type Settings } from "../chat/settings.ts";
import { streamAnswer } from "../chat/stream.ts";
import { AboutView } from "./about-view.tsx";
import { ChatView } from "./chat-view.tsx";
import { HistoryDrawer } from "./history-drawer.tsx";
import { SettingsDrawer } from "./settings-drawer.tsx";
import { StatusLine } from "./status-line.tsx";
import { useServer } from "./use-server.ts";
import { UseView } from "./use-view.tsx";

/** Programs of one host share its storage: each has its own names in it. */
const HISTORY_KEY = `pinference:${location.pathname}:history`;
const SETTINGS_KEY = `pinference:${location.pathname}:settings`;

const VIEWS = [
  { name: "chat", label: "Chat" },
  { name: "use", label: "Use it" },
  { name: "about", label: "What is this" },
] as const;
type ViewName = (typeof VIEWS)[number]["name"];

export function App() {
  const state = useServer(0);
  const about = state.kind === "ready" ? state.about : undefined;
  const view = useView();
  const [drawer, setDrawer] = useState<"history" | "settings">();
  const chat = useChat(about !== undefined);

  useEffect(() => {
    if (about?.model) document.title = `${about.model.id} · Pinference`;
  }, [about]);

  function change(settings: Settings): void {
    chat.changeSettings(settings);
    localStorageOrNone()?.setItem(SETTINGS_KEY, JSON.stringify(settings));
  }

  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <div class="top-row">
          <h1>{about?.model?.id ?? "Pinference"}</h1>
          <nav aria-label="Views">
            {VIEWS.map(({ name, label }) => (
              <a key={name} href={`#${name}`} aria-current={view === name ? "page" : undefined}>
                {label}
              </a>
            ))}
          </nav>
        </div>
        <div class="top-row">
          <StatusLine state={state} />
          {view === "chat" && (
            <div class="tools">
              <button type="button" class="quiet" onClick={() => chat.startNew()}>
                New chat
              </button>
              <button type="button" class="quiet" onClick={() => setDrawer("history")}>
                History
              </button>
              <button type="button" class="quiet" onClick={() => setDrawer("settings")}>
                Settings
              </button>
            </div>
          )}
        </div>
      </header>
      <main id="main" tabIndex={-1} class={view}>
        {view === "chat" && <ChatView chat={chat} state={state} />}
        {view === "use" && (
          <UseView
            endpoint={{
              baseUrl: `${pageAddress(location)}v1/`,
              model: about?.model?.id ?? "",
              requiresKey: about?.requires_key ?? false,
            }}
          />
        )}
        {view === "about" && <AboutView about={about} />}
      </main>
      {drawer === "history" && (
        <HistoryDrawer
          conversations={chat.conversations}
          currentId={chat.current.id}
          onOpen={(id) => {
            chat.open(id);
            setDrawer(undefined);
          }}
          onRemove={(id) => chat.remove(id)}
          onRemoveAll={() => chat.removeAll()}
          onClose={() => setDrawer(undefined)}
        />
      )}
      {drawer === "settings" && (
        <SettingsDrawer
          settings={chat.settings}
          supportsTools={about?.model?.supports_tools ?? false}
          onChange={change}
          onClose={() => setDrawer(undefined)}
        />
      )}
    </>
  );
}

/** The view is in the address, so that it can be linked and the browser's back button works. */
function useView(): ViewName {
  const [view, setView] = useState<ViewName>(currentView);
  useEffect(() => {
    const onChange = (): void => setView((before) => (location.hash === "#main" ? before : currentView()));
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  // Each view begins at its top; the chat follows its end by itself.
  useEffect(() => scrollTo({ top: 0 }), [view]);
  return view;
}

function currentView(): ViewName {
  return VIEWS.find(({ name }) => location.hash === `#${name}`)?.name ?? "chat";
}

function useChat(isReady: boolean): Chat {
  const [, draw] = useState(0);
  const chat = useMemo(() => {
    const drawn = (): void => draw((count) => count + 1);
    return new Chat(new History(localStorageOrNone(), HISTORY_KEY), answer, loadSettings(), drawn);
  }, []);
  // Known before the first question, so that it does not wait for it.
  useEffect(() => {
    if (isReady) void hostPassesStreams();
  }, [isReady]);
  return chat;
}

let hostAnswer: Promise<boolean | undefined> | undefined;

function hostPassesStreams(): Promise<boolean | undefined> {
  hostAnswer ??= passesStreams().then((passes) => {
    document.documentElement.dataset["answers"] = passes === false ? "polled" : "streamed";
    return passes;
  });
  return hostAnswer;
}

async function* answer(question: Question, signal: AbortSignal): AsyncGenerator<Piece> {
  yield* ((await hostPassesStreams()) === false ? pollAnswer : streamAnswer)(question, signal);
}

function loadSettings(): Settings {
  try {
    const found = JSON.parse(localStorageOrNone()?.getItem(SETTINGS_KEY) ?? "{}") as Partial<Settings>;
    return { ...NO_SETTINGS, ...found };
  } catch {
    return NO_SETTINGS;
  }
}

import { titleOf, type Conversation } from "../chat/conversation.ts";
import { Drawer } from "./drawer.tsx";

interface HistoryDrawerProps {
  readonly conversations: readonly Conversation[];
  readonly currentId: string;
  readonly onOpen: (id: string) => void;
  readonly onRemove: (id: string) => void;
  readonly onRemoveAll: () => void;
  readonly onClose: () => void;
}

const time = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function HistoryDrawer(props: HistoryDrawerProps) {
  const { conversations, currentId, onOpen, onRemove, onRemoveAll, onClose } = props;
  return (
    <Drawer title="Earlier chats" onClose={onClose}>
      <p class="hint">Kept in this browser only. The server keeps none of them.</p>
      {conversations.length === 0 ? (
        <p>There is none yet.</p>
      ) : (
        <>
          <ul class="history">
            {conversations.map((conversation) => (
              <li key={conversation.id}>
                <button
                  type="button"
                  class="entry"
                  aria-current={conversation.id === currentId}
                  onClick={() => onOpen(conversation.id)}
                >
                  <span>{titleOf(conversation)}</span>
                  <small>{time.format(conversation.changedAt)}</small>
                </button>
                <button
                  type="button"
                  class="quiet"
                  aria-label={`Delete ${titleOf(conversation)}`}
                  onClick={() => onRemove(conversation.id)}
                >
                  Delete
                </button>
              </li>
            ))}
          </ul>
          <p class="row">
            <button type="button" class="quiet" onClick={onRemoveAll}>
              Delete all
            </button>
          </p>
        </>
      )}
    </Drawer>
  );
}

import { useEffect, useState } from "preact/hooks";

/** What went wrong in the page itself, said plainly instead of only in the console. */
export function ErrorBanner() {
  const [message, setMessage] = useState("");
  useEffect(() => {
    const onError = ({ message: text }: ErrorEvent): void => setMessage(text);
    const onRejection = ({ reason }: PromiseRejectionEvent): void =>
      setMessage(reason instanceof Error ? reason.message : String(reason));
    addEventListener("error", onError);
    addEventListener("unhandledrejection", onRejection);
    return () => {
      removeEventListener("error", onError);
      removeEventListener("unhandledrejection", onRejection);
    };
  }, []);
  if (message === "") return null;
  return (
    <div class="banner" role="alert">
      <span>This page made a mistake: {message}</span>
      <button type="button" class="quiet" onClick={() => setMessage("")}>
        Dismiss
      </button>
    </div>
  );
}

import { useState } from "preact/hooks";

import { sharesOrigin } from "../address.ts";
import { apiKey } from "../api.ts";

export function KeyForm({ onDone }: { onDone: () => void }) {
  const [key, setKey] = useState("");
  return (
    <form
      class="key-form"
      onSubmit={(event) => {
        event.preventDefault();
        apiKey.write(key.trim());
        onDone();
      }}
    >
      <label for="api-key">This model wants an API key</label>
      <div class="row">
        <input
          id="api-key"
          type="password"
          autocomplete="off"
          value={key}
          aria-describedby="api-key-hint"
          onInput={({ currentTarget }) => setKey(currentTarget.value)}
        />
        <button type="submit" disabled={key.trim() === ""}>
          Use key
        </button>
      </div>
      <small id="api-key-hint">
        {sharesOrigin(location)
          ? "Forgotten when this page is left, since other programs share this host's address."
          : "Forgotten when this tab is closed."}
      </small>
    </form>
  );
}

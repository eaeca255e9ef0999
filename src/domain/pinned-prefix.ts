/** The two files of a model's evaluated system prompt, beside the model: what it is, and the state itself. */
export const PINNED_HEADER_FILE = "pinned-prefix.json";
export const PINNED_STATE_FILE = "pinned-prefix.state";
/** Increase when the files' meaning changes. */
export const PINNED_FORMAT = 1;

import { useEffect, useId, useRef } from "preact/hooks";

interface TextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly onChange: (text: string) => void;
  readonly hint?: string;
  readonly fault?: string | undefined;
  readonly rows?: number;
  readonly hasFocus?: boolean;
}

/** A text of several lines that grows with its content. */
export function TextField({ label, value, onChange, hint, fault, rows = 2, hasFocus = false }: TextFieldProps) {
  const id = useId();
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (hasFocus) field.current?.focus();
  }, [hasFocus]);
  const note = fault ?? hint;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        ref={field}
        rows={rows}
        value={value}
        aria-describedby={note === undefined ? undefined : `${id}-note`}
        aria-invalid={fault !== undefined}
        onInput={({ currentTarget }) => onChange(currentTarget.value)}
      />
      {note !== undefined && (
        <small id={`${id}-note`} class={fault === undefined ? "" : "fault"}>
          {note}
        </small>
      )}
    </div>
  );
}

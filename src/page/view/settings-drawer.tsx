import { useId } from "preact/hooks";

import {
  FIELD_GROUPS,
  NO_SETTINGS,
  parseOthers,
  parseTools,
  type NumberField,
  type Settings,
} from "../chat/settings.ts";
import { Drawer } from "./drawer.tsx";
import { TextField } from "./text-field.tsx";

interface SettingsDrawerProps {
  readonly settings: Settings;
  readonly supportsTools: boolean;
  readonly onChange: (settings: Settings) => void;
  readonly onClose: () => void;
}

export function SettingsDrawer({ settings, supportsTools, onChange, onClose }: SettingsDrawerProps) {
  return (
    <Drawer title="Settings" onClose={onClose}>
      <TextField
        label="System prompt"
        hint="Comes before the conversation."
        rows={4}
        value={settings.systemPrompt}
        onChange={(systemPrompt) => onChange({ ...settings, systemPrompt })}
      />
      {FIELD_GROUPS.map(({ title, fields }) => (
        <fieldset key={title}>
          <legend>{title}</legend>
          <div class="numbers">
            {fields.map((field) => (
              <NumberInput
                key={field.name}
                field={field}
                value={settings.numbers[field.name] ?? ""}
                onChange={(text) => onChange({ ...settings, numbers: { ...settings.numbers, [field.name]: text } })}
              />
            ))}
          </div>
        </fieldset>
      ))}
      {supportsTools && (
        <TextField
          label="Tools"
          hint="OpenAI's list of functions, as JSON. The model's calls are shown, and you give their results."
          fault={prefixed(parseTools(settings.tools).fault)}
          value={settings.tools}
          onChange={(tools) => onChange({ ...settings, tools })}
        />
      )}
      <TextField
        label="Other request fields"
        hint='A JSON object, for example {"grammar": "root ::= [0-9]+"}.'
        fault={prefixed(parseOthers(settings.others).fault)}
        value={settings.others}
        onChange={(others) => onChange({ ...settings, others })}
      />
      <p class="row">
        <button type="button" class="quiet" onClick={() => onChange(NO_SETTINGS)}>
          Reset all
        </button>
      </p>
    </Drawer>
  );
}

function prefixed(fault: string | undefined): string | undefined {
  return fault === undefined ? undefined : `This ${fault}`;
}

interface NumberInputProps {
  readonly field: NumberField;
  readonly value: string;
  readonly onChange: (text: string) => void;
}

function NumberInput({ field: { name, label, hint, min, max, step }, value, onChange }: NumberInputProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id} title={name}>
        {label}
      </label>
      <input
        id={id}
        type="number"
        inputMode="decimal"
        placeholder="default"
        min={min}
        max={max}
        step={step}
        value={value}
        aria-describedby={`${id}-hint`}
        onInput={({ currentTarget }) => onChange(currentTarget.value)}
      />
      <small id={`${id}-hint`}>{hint}</small>
    </div>
  );
}

import { type InputHTMLAttributes, type TextareaHTMLAttributes, useId } from "react";

interface Common {
  label: string;
  optional?: boolean;
  hint?: string;
  /** Replaces the hint. */
  error?: string | null | undefined;
}

function Frame({ id, label, optional, hint, error, children }: Common & { id: string; children: React.ReactNode }) {
  return (
    <div className="form-row">
      <label className="label" htmlFor={id}>
        {label}
        {optional && <span>optional</span>}
      </label>
      {children}
      {(error ?? hint) && (
        <p id={`${id}-hint`} className={error ? "hint bad" : "hint"} role={error ? "alert" : undefined}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

function described(id: string, { hint, error }: Common) {
  return { "aria-describedby": (error ?? hint) ? `${id}-hint` : undefined, "aria-invalid": error ? true : undefined };
}

type InputProps = Common & InputHTMLAttributes<HTMLInputElement>;

export function TextField({ label, optional = false, hint, error, ...rest }: InputProps) {
  const id = useId();
  const common = { label, optional, error, ...(hint === undefined ? {} : { hint }) };
  return (
    <Frame id={id} {...common}>
      <input id={id} className="field" autoComplete="off" spellCheck={false} {...described(id, common)} {...rest} />
    </Frame>
  );
}

type AreaProps = Common & TextareaHTMLAttributes<HTMLTextAreaElement>;

export function TextArea({ label, optional = false, hint, error, ...rest }: AreaProps) {
  const id = useId();
  const common = { label, optional, error, ...(hint === undefined ? {} : { hint }) };
  return (
    <Frame id={id} {...common}>
      <textarea id={id} className="field area mono" spellCheck={false} rows={5} {...described(id, common)} {...rest} />
    </Frame>
  );
}

export function Check({ label, ...rest }: { label: string } & InputHTMLAttributes<HTMLInputElement>) {
  return (
    <label className="check-label">
      <input type="checkbox" className="check" {...rest} />
      {label}
    </label>
  );
}

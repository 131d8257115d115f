import { useEffect, useId, useRef, useState } from "react";
import { Check } from "../../kit/Field";
import { Icon } from "../../kit/Icon";
import { chips, hints, type ListFilter, type Offer, offers } from "./filter";
import { typing } from "./ListPage";

/** All conditions but the status, as chips; `/` comes here. */
export function FilterBar({ filter, onChange }: { filter: ListFilter; onChange: (next: ListFilter) => void }) {
  const [text, setText] = useState("");
  const [focused, setFocused] = useState(false);
  // What Enter takes: the first, but nothing before something is typed or pointed to.
  const [moved, setMoved] = useState<number>();
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  const shown = offers(text, filter);
  const at = Math.min(moved ?? (text.trim() === "" ? -1 : 0), shown.length - 1);
  const active = shown[at];
  const parts = chips(filter);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "/" || typing(event)) return;
      event.preventDefault();
      input.current?.focus();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);

  const take = (offer: Offer) => {
    setText("");
    setMoved(undefined);
    onChange(offer.filter);
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    switch (event.key) {
      case "ArrowDown":
        event.preventDefault();
        setMoved(Math.min(at + 1, shown.length - 1));
        break;
      case "ArrowUp":
        event.preventDefault();
        setMoved(Math.max(at - 1, 0));
        break;
      case "Enter":
        if (active) take(active);
        break;
      case "Escape":
        if (text) setText("");
        else input.current?.blur();
        break;
      case "Backspace": {
        const last = parts.at(-1);
        if (text === "" && last) onChange(last.without);
        break;
      }
    }
  };
  const open = focused && shown.length > 0;
  return (
    <div className="filter">
      <Icon name="filter" />
      <div className="chips" role="group" aria-label="Filters">
        {parts.map((chip) => (
          <button key={chip.key} type="button" className="chip" title={`${chip.key} ${chip.value}`} onClick={() => onChange(chip.without)}>
            <span className="sr">Remove filter </span>
            <span className="k">{chip.key} </span>
            <span className="v user-text">{chip.value}</span>
            <Icon name="x" />
          </button>
        ))}
      </div>
      <input
        ref={input}
        type="text"
        role="combobox"
        aria-label="Add filter"
        aria-expanded={open}
        aria-controls={`${id}-options`}
        aria-activedescendant={open && active ? `${id}-${shown.indexOf(active)}` : undefined}
        aria-autocomplete="list"
        placeholder="Add filter"
        autoComplete="off"
        spellCheck={false}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setMoved(undefined);
        }}
        onKeyDown={onKeyDown}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
      />
      {open && (
        <div id={`${id}-options`} className="options" role="listbox" aria-label="Filters to add">
          {shown.map((offer, i) => (
            <div
              key={`${offer.key} ${offer.value}`}
              id={`${id}-${i}`}
              className="option"
              role="option"
              tabIndex={-1}
              aria-selected={offer === active}
              onMouseDown={(event) => {
                event.preventDefault(); // keep the focus
                take(offer);
              }}
            >
              <span className="k">{offer.key}</span>
              <span className="trunc user-text">{offer.value}</span>
              <span className="hint">{offer.hint}</span>
            </div>
          ))}
          {text === "" &&
            hints.map(({ key, hint }) => (
              <div key={hint} className="option" role="option" tabIndex={-1} aria-selected="false" aria-disabled="true">
                <span className="k">{key}</span>
                <span className="mono t3 trunc">{hint}</span>
              </div>
            ))}
        </div>
      )}
      <span className="kbd wide">/</span>
      <Check label="Roots only" checked={!filter.children} onChange={(event) => onChange({ ...filter, children: !event.target.checked })} />
    </div>
  );
}

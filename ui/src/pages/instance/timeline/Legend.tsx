const kinds = ["queued", "running", "completed", "failed"];

/** What the looks of the bars mean. */
export function Legend() {
  return (
    <ul className="legend" aria-label="Legend">
      {kinds.map((kind) => (
        <li key={kind}>
          <i className={`swatch ${kind}`} />
          {kind}
        </li>
      ))}
    </ul>
  );
}

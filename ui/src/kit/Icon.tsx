import type { ReactNode } from "react";

// Drawn on a grid of 16 with a stroke of 1.5; status icons differ in outline, so that they survive without colour.

const shapes = {
  // status
  pending: <circle cx="8" cy="8" r="5.5" strokeDasharray="2.2 2.12" />,
  running: (
    <>
      <path className="spin" d="M8 2.5a5.5 5.5 0 1 1-5.5 5.5" strokeWidth="2" />
      <circle className="f" cx="8" cy="8" r="1.9" />
    </>
  ),
  suspended: <path d="M5.5 3v10M10.5 3v10" strokeWidth="2.5" />,
  completed: <path d="m2.8 8.6 3.5 3.6 7-8" strokeWidth="2" />,
  failed: (
    <path
      className="f"
      fillRule="evenodd"
      d="M5.2 1.2h5.6l4 4v5.6l-4 4H5.2l-4-4V5.2zM5 6.1 6.9 8 5 9.9 6.1 11 8 9.1 9.9 11 11 9.9 9.1 8 11 6.1 9.9 5 8 6.9 6.1 5z"
    />
  ),
  terminated: <rect className="f" x="3" y="3" width="10" height="10" rx="1" />,
  canceled: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="m4.2 11.8 7.6-7.6" />
    </>
  ),
  continued: <path d="M13.2 8A5.2 5.2 0 1 1 11 3.7M11.2 1v3.2H8" />,
  retrying: <path d="M13.2 8A5.2 5.2 0 1 1 11 3.7M11.2 1v3.2H8" />,
  queued: <circle cx="8" cy="8" r="5.5" />,
  held: <path d="M8 2 14.5 13.5h-13zM8 6.2v3.4M8 11.4v.2" strokeLinecap="round" />,
  // kinds
  orchestration: <path d="M2 4h4.5v4h3.5v4H14" />,
  activity: (
    <>
      <rect x="3" y="3" width="10" height="10" rx="1.5" />
      <rect className="f" x="6.3" y="6.3" width="3.4" height="3.4" />
    </>
  ),
  step: <path d="M3 3h10v10H3zM6 8h4" />,
  timer: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="M8 4.8V8l2.3 1.6" />
    </>
  ),
  awaited: <path d="M8 2 14 8l-6 6-6-6z" />,
  received: <path className="f" d="M8 2 14 8l-6 6-6-6z" />,
  child: <path d="M4 2v6.5A2.5 2.5 0 0 0 6.5 11H13M10.3 8.2 13 11l-2.7 2.8" />,
  limit: <path d="M2 3.5h3.5L7 6v4l-1.5 2.5H2M14 3.5h-3.5L9 6v4l1.5 2.5H14" />,
  send: <path d="m2.5 8 11-5-4 11-2-4.5z" />,
  // controls
  down: <path d="m4 6 4 4 4-4" />,
  right: <path d="m6 4 4 4-4 4" />,
  up: <path d="M8 13V3.5M4 7.3l4-4 4 4" />,
  downArrow: <path d="M8 3v9.5M4 8.7l4 4 4-4" />,
  plus: <path d="M8 3v10M3 8h10" />,
  minus: <path d="M4 8h8" />,
  fit: <path d="M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10" />,
  x: <path d="m4 4 8 8M12 4l-8 8" />,
  check: <path d="m3 8.5 3.3 3.3L13 4.5" />,
  copy: (
    <>
      <rect x="5.5" y="5.5" width="8" height="8" rx="1.2" />
      <path d="M10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2" />
    </>
  ),
  link: <path d="m6.5 9.5 3-3M7 4.5 8.8 2.7a2.9 2.9 0 0 1 4.2 4.2L11 8.8M9 11.5l-1.8 1.8A2.9 2.9 0 0 1 3 9.1L5 7.2" />,
  filter: <path d="M2 4h12M4.5 8h7M6.5 12h3" />,
  search: (
    <>
      <circle cx="7" cy="7" r="4.5" />
      <path d="m10.3 10.3 3.5 3.5" />
    </>
  ),
  stop: <rect x="3.5" y="3.5" width="9" height="9" rx="1" />,
  theme: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path className="f" d="M8 2.5a5.5 5.5 0 0 1 0 11z" />
    </>
  ),
  menu: <path d="M2 4h12M2 8h12M2 12h12" />,
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof shapes;

export function Icon({ name, className }: { name: IconName; className?: string }) {
  return (
    <svg className={className ? `i ${className}` : "i"} viewBox="0 0 16 16" aria-hidden="true">
      {shapes[name]}
    </svg>
  );
}

/** Water over a weir. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 16 16" aria-hidden="true">
      <path className="mark-water" d="M1 3.6h4.7c4.5 0 3 8.8 7.3 8.8h2" fill="none" strokeWidth="2" />
      <path className="mark-dam" d="M1 6.6h4.1c1.9 0 2.3 3.7 3.7 7.4H1z" />
    </svg>
  );
}

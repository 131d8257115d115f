import type { ButtonHTMLAttributes, ReactNode } from "react";
import { Icon, type IconName } from "./Icon";

interface Props extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "disabled"> {
  variant?: "primary" | "danger" | "ghost" | undefined;
  fill?: boolean;
  small?: boolean;
  icon?: IconName | undefined;
  /** The verb in -ing, while the act is under way. */
  pending?: string | undefined;
  /** Why it cannot be used now. It stays reachable, so that the reason can be read. */
  because?: string | undefined;
  children?: ReactNode;
}

export function Button({ variant, fill, small, icon, pending, because, children, className, onClick, ...rest }: Props) {
  const off = because !== undefined || pending !== undefined;
  const classes = ["btn", variant, fill && "fill", small && "sm", !children && "icon", className].filter(Boolean).join(" ");
  return (
    <button
      type="button"
      {...rest}
      className={classes}
      aria-disabled={off || undefined}
      title={because ?? rest.title}
      onClick={(event) => {
        if (off) event.preventDefault();
        else onClick?.(event);
      }}
    >
      {pending !== undefined ? <Icon name="running" className="turning" /> : icon && <Icon name={icon} />}
      {(pending ?? children) && <span className="btn-text">{pending ?? children}</span>}
    </button>
  );
}

import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, test, vi } from "vitest";
import { Button } from "../kit/Button";
import { ErrorBar } from "../kit/ErrorBar";
import { Status } from "../kit/Status";
import { FilterBar } from "../pages/list/FilterBar";
import { readFilter, writeFilter } from "../pages/list/filter";
import { JsonView } from "./JsonView";
import { describe as describeLink } from "./LiveButton";

describe("JsonView", () => {
  const json = '{"id":900719925474099267,"items":[1,2,3],"note":"<b>x</b>"}';

  test("shows exact numbers, and markup as text", () => {
    render(<JsonView text={json} label="Input" />);
    expect(screen.getByText("900719925474099267")).toBeDefined();
    expect(screen.getByText('"<b>x</b>"')).toBeDefined();
  });

  test("folds and unfolds", async () => {
    render(<JsonView text={json} label="Input" />);
    const bracket = screen.getByRole("button", { name: "[ 3 items" });
    await userEvent.click(bracket);
    expect(screen.getByRole("group", { name: "Input" }).textContent).toContain("[ … 3 ]");
    expect(bracket.getAttribute("aria-expanded")).toBe("false");
    await userEvent.click(screen.getByRole("button", { name: "[ 3 items" }));
    expect(screen.getByRole("group", { name: "Input" }).textContent).not.toContain("…");
  });

  test("shows what is no JSON as it is", () => {
    render(<JsonView text="{ not json" label="Input" />);
    expect(screen.getByLabelText("Input").textContent).toBe("{ not json");
  });

  test("shows many lines on demand", async () => {
    render(<JsonView text={JSON.stringify(Array.from({ length: 3000 }, (_, i) => i))} label="Input" />);
    await userEvent.click(screen.getByText("Show 2,002 more lines"));
    expect(screen.getAllByText("2999").length).toBeGreaterThan(0);
    expect(screen.queryByText(/more lines/)).toBeNull();
  });
});

describe("Button", () => {
  test("that cannot be used says why, stays reachable and does nothing", async () => {
    const act = vi.fn<() => void>();
    render(
      <Button because="It has ended: completed." onClick={act}>
        Terminate
      </Button>,
    );
    const button = screen.getByRole("button", { name: "Terminate" });
    expect(button.getAttribute("aria-disabled")).toBe("true");
    expect(button.title).toBe("It has ended: completed.");
    await userEvent.tab();
    expect(document.activeElement).toBe(button);
    await userEvent.click(button);
    expect(act).not.toHaveBeenCalled();
  });

  test("shows the act while it is under way, and does not repeat it", async () => {
    const act = vi.fn<() => void>();
    render(
      <Button pending="Starting" onClick={act}>
        Start
      </Button>,
    );
    await userEvent.click(screen.getByRole("button", { name: "Starting" }));
    expect(act).not.toHaveBeenCalled();
  });
});

describe("Status", () => {
  test("tells status, hold and act in words", () => {
    render(
      <>
        <Status status="FAILED" />
        <Status status="RUNNING" held />
        <Status status="RUNNING" acting="Terminating" />
        <Status status={"PAUSED_BY_QUOTA" as "FAILED"} />
      </>,
    );
    for (const word of ["Failed", "Held", "Terminating", "PAUSED_BY_QUOTA"]) expect(screen.getByText(word)).toBeDefined();
  });
});

test("ErrorBar tells what, why, code and request", async () => {
  const again = vi.fn<() => void>();
  render(<ErrorBar what="The list could not be read" problem={{ message: "it took longer than 2 s", code: "UNAVAILABLE", requestId: "req_1" }} onRetry={again} />);
  expect(screen.getByRole("alert").textContent).toContain("The list could not be read: it took longer than 2 s. UNAVAILABLE, req_1");
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(again).toHaveBeenCalledOnce();
});

describe("the live indicator", () => {
  const hhmm = () => "09:21";
  test.each([
    [{ kind: "live" } as const, false, "Live"],
    [{ kind: "live" } as const, true, "Paused by you"],
    [{ kind: "connecting" } as const, false, "Connecting"],
    [{ kind: "reconnecting", since: 1000, nextAt: 0 } as const, false, "Reconnecting, 4 s"],
    [{ kind: "stale", since: 0 } as const, false, "Stale since 09:21"],
  ])("%o, paused %s", (state, paused, words) => expect(describeLink(state, paused, 5000, hhmm).words).toBe(words));
});

describe("FilterBar", () => {
  test("takes what is typed, by the keyboard alone", async () => {
    const changed = vi.fn<(f: object) => void>();
    render(<FilterBar filter={readFilter("")} onChange={(f) => changed({ query: writeFilter(f) })} />);
    await userEvent.keyboard("/order-41");
    await userEvent.keyboard("{ArrowDown}{Enter}");
    expect(changed).toHaveBeenLastCalledWith({ query: "name=order-41" });
  });

  test("removes a chip by click, and the last one by Backspace", async () => {
    const changed = vi.fn<(f: object) => void>();
    render(<FilterBar filter={readFilter("name=Greet&id=o-")} onChange={(f) => changed({ query: writeFilter(f) })} />);
    await userEvent.click(screen.getByRole("button", { name: /Remove filter name Greet/ }));
    expect(changed).toHaveBeenLastCalledWith({ query: "id=o-" });
    await userEvent.click(screen.getByRole("combobox"));
    await userEvent.keyboard("{Backspace}");
    expect(changed).toHaveBeenLastCalledWith({ query: "name=Greet" });
  });
});

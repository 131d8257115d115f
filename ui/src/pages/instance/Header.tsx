import { Link } from "wouter";
import type { InstanceFragment } from "../../api/gql/graphql";
import { Button } from "../../kit/Button";
import { CopyButton } from "../../kit/CopyButton";
import { time } from "../../kit/format";
import { look, Status } from "../../kit/Status";
import { Duration, Moment } from "../../kit/Time";
import { paths } from "../../paths";

/** The priority of what is given none; only others are worth telling. */
const NORMAL = 2;

interface Props {
  hub: string;
  instance: InstanceFragment;
  terminating: boolean;
  onRaise: () => void;
  onTerminate: () => void;
}

/** Who the instance is, and what may be done with it. */
export function Header({ hub, instance, terminating, onRaise, onTerminate }: Props) {
  const { name, instanceId, status, version, held, priority, generation, parent, allowedActions } = instance;
  const because = (action: "RAISE_EVENT" | "TERMINATE") => (allowedActions.includes(action) ? undefined : `It has ended: ${look(status).word.toLowerCase()}.`);
  return (
    <>
      <div className="head instance-head">
        <h1 className="user-text" title={name}>
          {name}
        </h1>
        <Status status={status} held={held !== null} pill acting={terminating ? "Terminating" : undefined} />
        <span className="grow" />
        <Button icon="send" because={because("RAISE_EVENT")} onClick={onRaise}>
          Raise event
        </Button>
        <Button variant="danger" icon="stop" because={because("TERMINATE")} pending={terminating ? "Terminating" : undefined} onClick={onTerminate}>
          Terminate
        </Button>
      </div>
      <dl className="facts">
        <div>
          <dt className="sr">Instance id</dt>
          <dd className="mono id row" title={instanceId}>
            <span className="trunc">{instanceId}</span>
            <CopyButton text={instanceId} label="Copy id" />
          </dd>
        </div>
        {version && (
          <div>
            <dt>Version</dt>
            <dd className="user-text">{version}</dd>
          </div>
        )}
        <Fact label="Created" at={instance.createdAt} />
        {instance.startedAt && time(instance.startedAt) - time(instance.createdAt) >= 1000 && <Fact label="Started" at={instance.startedAt} />}
        {instance.finishedAt && <Fact label="Finished" at={instance.finishedAt} />}
        {instance.startedAt && (
          <div>
            <dt>{instance.finishedAt ? "Took" : "Running"}</dt>
            <dd>
              <Duration from={instance.startedAt} to={instance.finishedAt} />
            </dd>
          </div>
        )}
        {priority !== NORMAL && (
          <div>
            <dt>Priority</dt>
            <dd title="1 goes first, 4 last; without one it is 2">{priority}</dd>
          </div>
        )}
        {generation > 0 && (
          <div>
            <dt>Generation</dt>
            <dd>{generation}</dd>
          </div>
        )}
        {parent && (
          <div>
            <dt>Parent</dt>
            <dd>
              <Link className="link" href={paths.instance(hub, parent.instanceId)}>
                {parent.name} {parent.instanceId}
              </Link>
            </dd>
          </div>
        )}
      </dl>
    </>
  );
}

function Fact({ label, at }: { label: string; at: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        <Moment at={at} />
      </dd>
    </div>
  );
}

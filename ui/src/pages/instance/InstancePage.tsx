import { Frame } from "../../components/Frame";

export default function InstancePage({ hub, id }: { hub: string; id: string }) {
  return (
    <Frame hub={hub} title={id} below>
      <div className="head">
        <h1>{id}</h1>
      </div>
    </Frame>
  );
}

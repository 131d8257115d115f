import type { InstanceFragment } from "../../api/gql/graphql";

/** Whether b is not older than a: answers and pushes may overtake each other. */
export function newer(a: InstanceFragment, b: InstanceFragment): boolean {
  if (a.generation !== b.generation) return a.generation < b.generation;
  const [x, y] = [BigInt(a.lastSeq), BigInt(b.lastSeq)];
  return x === y ? a.lastEventAt <= b.lastEventAt : x < y;
}

import { createContext, useContext } from "react";
import type { ServerQuery } from "./gql/graphql";

/** What the server says of itself, and its hubs: asked once when the page opens. */
export const ServerContext = createContext<ServerQuery | undefined>(undefined);

export function useServer(): ServerQuery {
  const server = useContext(ServerContext);
  if (!server) throw new Error("outside of ServerContext");
  return server;
}

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";

/** An OpenID provider with a login page of its own, which takes any name; the groups of each are set by the test. */
export class TestProvider {
  private constructor(
    readonly issuer: string,
    private readonly server: Server,
    readonly groups: Map<string, string[]>,
  ) {}

  static async start(weir: string): Promise<TestProvider> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const groups = new Map<string, string[]>();
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: "weir",
          client_secret: "the secret of the tests",
          redirect_uris: [`${weir}/auth/callback`],
          post_logout_redirect_uris: [`${weir}/`],
          grant_types: ["authorization_code", "refresh_token"],
        },
      ],
      claims: { openid: ["sub", "name", "groups"] },
      conformIdTokenClaims: false,
      issueRefreshToken: async () => true,
      findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, name: `Person ${id}`, groups: groups.get(id) ?? [] }) }),
      cookies: { keys: ["only for tests"] },
      features: { devInteractions: { enabled: true } },
    });
    server.on("request", provider.callback());
    return new TestProvider(issuer, server, groups);
  }

  /** The setting by which a server knows it. */
  get setting(): string {
    return JSON.stringify([
      {
        issuer: this.issuer,
        name: "Example ID",
        clientId: "weir",
        clientSecret: "the secret of the tests",
        roles: { ops: { payments: ["OPERATOR"] }, admins: { "*": ["ADMIN"] } },
      },
    ]);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

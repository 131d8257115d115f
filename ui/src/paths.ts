// Every address of the dashboard, below its base path. The state of a page is in its address.

const part = encodeURIComponent;

export const paths = {
  hub: (hub: string) => `/h/${part(hub)}`,
  orchestrations: (hub: string, query = "") => `/h/${part(hub)}/orchestrations${query && `?${query}`}`,
  instance: (hub: string, id: string, query = "") => `/h/${part(hub)}/o/${part(id)}${query && `?${query}`}`,
  limits: (hub: string) => `/h/${part(hub)}/limits`,
};

/**
 * The console's addresses. All but the first screen live below /console/, because the gateway's own
 * interfaces own short paths such as /health and /calls.
 */
export const routes = {
  calls: '/',
  call: (id: string) => `/console/calls/${encodeURIComponent(id)}`,
  callPattern: '/console/calls/:id',
  messages: '/console/messages',
  extensions: '/console/extensions',
  health: '/console/health',
};

import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// `npm run dev` serves the page and passes the API to a gateway, or to dev/fixture-server.mjs.
const gateway = process.env.SWITCHHOOK_BASE_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    outDir: 'dist',
    // Everything is a file of ours: the policy forbids inline scripts and data: scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: Object.fromEntries(
      ['/api', '/readyz', '/healthz'].map((path) => [path, { target: gateway, changeOrigin: false }]),
    ),
  },
  test: { environment: 'node', include: ['test/**/*.test.ts'] },
});

import { defineConfig } from 'vitest/config';

// The browser tests run against SWITCHHOOK_BASE_URL, one after the other: they share one gateway.
export default defineConfig({
  test: {
    environment: 'node',
    include: ['e2e/**/*.e2e.ts'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["{runtime,plugins,host,bench,deploy}/**/*.test.ts"],
          exclude: ["**/*.root.test.ts"],
        },
      },
      {
        // Needs root: real kernel, namespaces, sockets. One file at a time, they share the kernel.
        test: {
          name: "root",
          include: ["{bpf,runtime,host,test}/**/*.root.test.ts"],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});

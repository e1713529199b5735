// Which tests exist and in which of two projects they run: `unit` needs nothing but the build,
// `root` needs root and a kernel. test/run.ts runs both.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["{bpf,runtime,plugins,examples,docs,host,bench,deploy,test}/**/*.test.ts"],
          exclude: ["**/*.root.test.ts"],
          // Two cores run as many files at once; a test that compiles may have half of one.
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        // Needs root: real kernel, namespaces, sockets. One file at a time, they share the kernel.
        test: {
          name: "root",
          include: ["{bpf,runtime,plugins,examples,docs,host,bench,deploy,test}/**/*.root.test.ts"],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});

// The steps that tests may take.

export * from "./live.mjs";
export * from "./trip.mjs";
export * from "./acting.mjs";
export * from "./everyone.mjs";
export * from "./outage.mjs";

// problems are those that the pages had since the last time.
export const problems = (session) => session.watch.take();

/** How long whoever knows all callers may think: its sources have shorter limits of their own, so it hangs where it needs more. */
export const patience = { timeoutMilliseconds: 60_000 }

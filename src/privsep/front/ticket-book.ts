/** The tickets of this front: the newest one for each Unix user, which says that somebody has logged in as them. */
export interface TicketBook {
  /** Keeps a ticket unless a newer one of that user is there. `expires` in milliseconds since the epoch. */
  put(unixUser: string, ticket: string, expires: number): void
  /** When the ticket of that user is over, in milliseconds since the epoch; undefined where there is none that still holds. */
  expiresOf(unixUser: string): number | undefined
}

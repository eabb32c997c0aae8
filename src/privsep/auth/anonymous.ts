import type { DoorPart } from './door.js'

/** `anonymous {}`: a ticket for callers without a credential, where the configuration names a Unix user for them. */
export const anonymousPart: DoorPart = ({ anonymous = { grants: [] } }, tickets) => ({
  anonymous: {
    maxBytes: 64,
    handle: async () => ({ head: { ...(await tickets.grant(anonymous)) } }),
  },
})

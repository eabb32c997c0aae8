import type { ChunkSignatures } from './chunk-signatures.js'

/** What of a signature that holds matters to the body that it came with. */
export type Proof =
  | {
      /** `Authorization` header. */
      readonly by: 'header'
      /** The chain of signatures over chunks of the body that goes on from that of the request; asked for once at most. */
      readonly chunks: () => ChunkSignatures
    }
  | { readonly by: 'query' }
  /** No signature at all: an anonymous caller. */
  | { readonly by: 'nobody' }

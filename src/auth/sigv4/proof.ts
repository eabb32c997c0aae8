/** What of a signature that holds matters to the body that it came with. */
export type Proof =
  | {
      /** `Authorization` header: chunks of the body may be signed on from it. */
      readonly by: 'header'
      /** `x-amz-date`, as signed. */
      readonly date: string
      /** `20260131/us-east-1/s3/aws4_request` */
      readonly scope: string
      /** Never leaves the verifier of signatures. */
      readonly signingKey: Uint8Array
      /** Lower-case hex: the seed of the first chunk's signature. */
      readonly signature: string
    }
  | { readonly by: 'query' }
  /** No signature at all: an anonymous caller. */
  | { readonly by: 'nobody' }

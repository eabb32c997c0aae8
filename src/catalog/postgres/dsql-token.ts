/** What a token is made for. */
export interface TokenFor {
  readonly endpoint: string
  readonly region: string
  /** `admin` needs the right `dsql:DbConnectAdmin`, any other `dsql:DbConnect`. */
  readonly user: string
}

/** A token opens connections for this long; an open connection outlives it. */
const validSeconds = 900
/** It dies earlier with the credentials that have signed it, and costs no round trip: so it serves one burst of connections. */
const keptMilliseconds = 60_000

/**
 * Gives tokens of IAM as passwords for Aurora DSQL, signed with the credentials that the AWS SDK finds. Rejects with the
 * SDK's error where it finds none.
 */
export function dsqlToken({ endpoint, region, user }: TokenFor): () => Promise<string> {
  let kept: { readonly token: Promise<string>; readonly until: number } | undefined
  return () => {
    if (kept === undefined || performance.now() >= kept.until) {
      const token = sign(endpoint, region, user === 'admin')
      kept = { token, until: performance.now() + keptMilliseconds }
      token.catch(() => (kept = undefined))
    }
    return kept.token
  }
}

async function sign(hostname: string, region: string, asAdmin: boolean): Promise<string> {
  const { DsqlSigner } = await import('@aws-sdk/dsql-signer')
  const signer = new DsqlSigner({ hostname, region, expiresIn: validSeconds })
  return asAdmin ? signer.getDbConnectAdminAuthToken() : signer.getDbConnectAuthToken()
}

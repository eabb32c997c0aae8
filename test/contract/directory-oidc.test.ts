import { openIssuerKeys } from '../../src/auth/directory/issuer-keys.js'
import { openOidcDirectory, signatureAlgorithms } from '../../src/auth/directory/oidc.js'
import { ManualClock } from '../../src/core/clock.js'
import { makeKey, toyIssuer } from '../issuer.js'
import { directoryContract } from './directory.js'

for (const algorithm of ['RS256', 'ES256', 'EdDSA'])
  directoryContract({
    name: `oidc, ${algorithm}`,
    kinds: ['bearer'],
    cannot: {
      change: 'a token is good until it expires',
      disable: 'a token is good until it expires',
      remove: 'a token is good until it expires',
      breakDown: 'keys that are known go on working',
    },
    async open() {
      const clock = new ManualClock()
      const toy = await toyIssuer(() => clock.now() / 1000)
      const key = await makeKey(algorithm, 'one')
      toy.keys = [key.publicJwk]
      const { issuer } = toy
      return {
        directory: await openOidcDirectory({
          name: 'oidc',
          keys: await openIssuerKeys({ issuer, allowHttp: false, timeoutSeconds: 5, clock }),
          clock,
          issuer,
          audience: ['postern'],
          algorithms: signatureAlgorithms,
          clockToleranceSeconds: 30,
          claims: new Map(),
          nameClaim: 'sub',
          groupsClaim: 'groups',
          grants: ['rw:/home/{user}/**'],
          groupGrants: new Map(),
        }),
        hold: async (_kind, name) => ({ right: { kind: 'bearer', token: await toy.sign(key, { sub: name }) }, name }),
        close: () => toy.stop(),
      }
    },
  })

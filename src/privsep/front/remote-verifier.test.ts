import { describe } from 'vitest'
import { behindTheDoor } from '../../../test/judged-behind-the-door.js'
import { judgeBy } from '../../../test/s3-verification.js'

judgeBy(behindTheDoor)

describe('signatures whose keys are in another process', async () => {
  await import('../../auth/sigv4/verifier.test.js')
  await import('../../auth/sigv4/verifier-malformed.test.js')
  await import('../../auth/sigv4/verifier-tampered.test.js')
  await import('../../auth/sigv4/verifier-anything.test.js')
})

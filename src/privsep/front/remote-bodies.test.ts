import { describe } from 'vitest'
import { behindTheDoor } from '../../../test/judged-behind-the-door.js'
import { judgeBy } from '../../../test/s3-verification.js'

judgeBy(behindTheDoor)

describe('bodies whose signatures are judged in another process', async () => {
  await import('../../auth/sigv4/aws-chunked.test.js')
  await import('../../auth/sigv4/post-form.test.js')
})

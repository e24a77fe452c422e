/** Before every test file: fast-check's own default keeps arrays and strings near ten items, too few to reach what matters. */
import fc from 'fast-check'

fc.configureGlobal({ baseSize: 'medium' })

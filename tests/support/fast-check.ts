/** Before every test file: fast-check's own default keeps arrays and strings near ten items, too few to reach what matters. */
import fc from 'fast-check'

// Whoever only asks whether something fails (tests/mutants) need not wait for a smaller example.
fc.configureGlobal({ baseSize: 'medium', endOnFailure: process.env['NO_SHRINKING'] === '1' })

// Package fault owns the errors that meshctl shows to a user: message, field,
// remedy and exit code. Explain turns any error into one.
package fault

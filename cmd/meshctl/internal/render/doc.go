// Package render owns the text of a gateway's status, members and routes. It is
// pure: it reads a snapshot and writes to a writer.
package render

// Package admin serves meshctl on a unix socket: it converts the calls of service
// Operator into calls of the agent. Clients are in package adminclient.
package admin

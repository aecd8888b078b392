// Package rpc has what the Connect services on the control port and on the admin
// socket share: the conversion of errors and the limit of a message.
package rpc

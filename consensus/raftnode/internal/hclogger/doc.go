// Package hclogger writes the log of HashiCorp's libraries to log/slog.
package hclogger

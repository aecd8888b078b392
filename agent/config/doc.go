// Package config reads and validates the configuration file of meshd. It reports
// all errors of a file at once, with line, column and key.
package config

// Package config reads meshd's configuration file strictly.
package config

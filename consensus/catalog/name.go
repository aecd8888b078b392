package catalog

import (
	"fmt"
	"strings"
)

// ValidateName returns a *Refusal unless name is a lower-case DNS label (RFC 1123).
func ValidateName(name string) error { return CheckName("name", name).err() }

// CheckName returns why the catalog refuses the value of a field as a name, or nil.
func CheckName(field, name string) *Refusal {
	if isLabel(name) {
		return nil
	}
	return &Refusal{
		Code: CodeNameInvalid, Field: field,
		Message: fmt.Sprintf("%q is not a DNS label", Shorten(name)),
		Remedy:  "use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
	}
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > maxNameLength || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return onlyBytes(s, func(c byte) bool { return isLowerOrDigit(c) || c == '-' })
}

func isLowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isAlphanumeric(c byte) bool { return isLowerOrDigit(c) || 'A' <= c && c <= 'Z' }

func onlyBytes(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

// Shorten truncates a value that may be hostile, to bound the length of messages.
func Shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		hex := '0' <= s[i] && s[i] <= '9' || 'a' <= s[i] && s[i] <= 'f'
		if hyphen != (s[i] == '-') || !hyphen && !hex {
			return false
		}
	}
	return true
}

package httpd

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
)

// keyText is a key in JSON: as text if it is UTF-8, else in base64.
type keyText struct {
	Key       *string `json:"key,omitempty"`
	KeyBase64 []byte  `json:"key_base64,omitempty"`
}

func textOfKey(k api.Key) keyText {
	text, b64 := textOrBytes(k)
	return keyText{Key: text, KeyBase64: b64}
}

// textOrBytes is k as text if it is UTF-8, else as bytes, which JSON renders in base64.
func textOrBytes(k api.Key) (*string, []byte) {
	if s := string(k); utf8.ValidString(s) {
		return &s, nil
	}
	return nil, []byte(k)
}

// appendText appends the member "name":"text", or "name_base64":"..." if b is not UTF-8.
func appendText(dst []byte, name string, b []byte) []byte {
	dst = append(append(dst, '"'), name...)
	if !utf8.Valid(b) {
		dst = append(dst, `_base64":"`...)
		return append(base64.StdEncoding.AppendEncode(dst, b), '"')
	}
	return append(appendEscaped(append(dst, `":"`...), b), '"')
}

// appendEscaped appends UTF-8 as it stands between the quotes of a JSON string (RFC 8259, section 7).
func appendEscaped(dst, b []byte) []byte {
	const hex = "0123456789abcdef"
	plain := 0 // b[plain:i] is to be copied as it is
	for i, c := range b {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, b[plain:i]...)
		plain = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, b[plain:]...)
}

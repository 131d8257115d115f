package model

import (
	"encoding/base64"
	"errors"
	"strings"
)

// EncodeID makes a global id: opaque to clients, the same for the same object.
func EncodeID(kind, hub, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte("v1:" + kind + ":" + hub + ":" + key))
}

// DecodeID reads a global id.
func DecodeID(id string) (kind, hub, key string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return "", "", "", errors.New("not an id")
	}
	parts := strings.SplitN(string(raw), ":", 4)
	if len(parts) != 4 || parts[0] != "v1" {
		return "", "", "", errors.New("not an id")
	}
	return parts[1], parts[2], parts[3], nil
}

package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// Login is a sign-in that has begun: the browser was sent to the provider and has not come back.
type Login struct {
	Issuer   string
	State    string
	Nonce    string
	Verifier string // of PKCE
	Return   string // the path to go on with
}

// StoredSession is a browser's session.
type StoredSession struct {
	Issuer, Subject, SID, Name string
	Groups                     []string
	// IDToken is the provider's last, to name the session when it is to end there. Refresh is encrypted.
	IDToken string
	Refresh []byte
	// CreatedAt bounds the whole session, UsedAt its idle time, RefreshedAt is when the provider last said who this is.
	CreatedAt, UsedAt, RefreshedAt time.Time
}

// Keeper stores logins and sessions, by the SHA-256 of what the browser shows.
type Keeper struct {
	AddLogin func(ctx context.Context, id []byte, l Login) error
	// TakeLogin returns a login that is no older than so long, once; nil if there is none.
	TakeLogin  func(ctx context.Context, id []byte, within time.Duration) (*Login, error)
	AddSession func(ctx context.Context, id []byte, s StoredSession) error
	// UseSession returns a session, and notes that it is used, once a minute; nil if there is none, or it was last used
	// longer ago than idle, or began longer ago than whole.
	UseSession func(ctx context.Context, id []byte, idle, whole time.Duration) (*StoredSession, error)
	// ClaimRefresh lets one of all who try refresh a session that was last refreshed at a time.
	ClaimRefresh func(ctx context.Context, id []byte, last time.Time) (bool, error)
	// Refreshed stores what the provider has said now.
	Refreshed  func(ctx context.Context, id []byte, s StoredSession) error
	EndSession func(ctx context.Context, id []byte) error
	// EndSessions ends those of a provider with a session id there, or, if that is empty, of a subject. It returns how
	// many. The id of the token that asks for it counts once.
	EndSessions func(ctx context.Context, issuer, sid, subject, tokenID string) (int, error)
}

// sealer encrypts refresh tokens.
type sealer struct{ aead cipher.AEAD }

// newSealer makes a sealer from a secret of 32 bytes or more.
func newSealer(secret []byte) (*sealer, error) {
	if len(secret) < 32 {
		return nil, errors.New("the key of sessions is too short")
	}
	key := sha256.Sum256(append([]byte("weir sessions:"), secret...))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("key of sessions: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("key of sessions: %w", err)
	}
	return &sealer{aead}, nil
}

func (s *sealer) seal(text string) []byte {
	if text == "" {
		return nil
	}
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return s.aead.Seal(nonce, nonce, []byte(text), nil)
}

// open returns an empty text for what was sealed with another key.
func (s *sealer) open(sealed []byte) string {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return ""
	}
	text, err := s.aead.Open(nil, sealed[:n], sealed[n:], nil)
	if err != nil {
		return ""
	}
	return string(text)
}

// random is 256 bits of chance, as text.
func random() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func idOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

package engine

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// SecretKeyLen is the length of Config.SecretKey, in bytes.
const SecretKeyLen = 32

// secretPrefix begins the secrets of webhooks, by the convention of Standard Webhooks; base64 follows.
const secretPrefix = "whsec_"

// sealer seals the secrets of webhooks: with the key of the settings, or with that of the database, which its servers alone
// may read.
func (e *Engine) sealer(ctx context.Context) (cipher.AEAD, error) {
	key := e.cfg.SecretKey
	if key == nil {
		var err error
		if key, err = e.Secret(ctx, "webhook_key"); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key of webhooks: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// secretOwner binds a sealed secret to its webhook: in the row of another it cannot be opened.
func secretOwner(hub int32, id string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(hub)), id...)
}

// newWebhookSecret makes a secret of 24 random bytes, as people see it and as it is stored.
func (e *Engine) newWebhookSecret(ctx context.Context, hub int32, id string) (secret string, sealed []byte, err error) {
	aead, err := e.sealer(ctx)
	if err != nil {
		return "", nil, err
	}
	random := make([]byte, 24)
	_, _ = rand.Read(random) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(random), aead.Seal(nil, nil, random, secretOwner(hub, id)), nil
}

// openSecret is what newWebhookSecret has sealed.
func (e *Engine) openSecret(ctx context.Context, hub int32, id string, sealed []byte) ([]byte, error) {
	aead, err := e.sealer(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, nil, sealed, secretOwner(hub, id))
	if err != nil {
		return nil, errors.New("its secret cannot be opened with this server's key: rotate it, or give all servers the key it was made with")
	}
	return secret, nil
}

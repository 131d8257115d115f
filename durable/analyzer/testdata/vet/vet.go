// Package vet is for a test that runs go vet on code that uses the real SDK.
package vet

import (
	"time"

	"github.com/weir-dev/weir/durable"
)

const wake durable.Activity[string, int] = "wake"

func bad(ctx *durable.Context, names map[string]bool) (time.Time, error) {
	for name := range names {
		if _, err := wake.Go(ctx, name).Await(); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now(), nil
}

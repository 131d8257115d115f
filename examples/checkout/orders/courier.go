package orders

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/weir-dev/weir/durable"
)

// MaxGrams is the heaviest parcel the bicycle carries.
const MaxGrams = 30_000

// Bicycle is a courier that takes some time for each parcel and refuses heavy ones.
type Bicycle struct {
	// Ride is how long a parcel takes, give or take a half; 0 means no time.
	Ride time.Duration
}

// Ship implements Courier. The tracking number follows from the call it serves, so a repeated attempt books the
// same parcel again, not another one.
func (b Bicycle) Ship(ctx context.Context, p Parcel) (string, error) {
	if p.Item.Grams > MaxGrams {
		return "", fmt.Errorf("%s weighs %d kg: %w", p.Item.Name, p.Item.Grams/1000, ErrUndeliverable)
	}
	if err := b.ride(ctx); err != nil {
		return "", err
	}
	call, _ := durable.Task(ctx)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", call.InstanceID, call.TaskID))
	return "WB" + hex.EncodeToString(sum[:5]), nil
}

// Recall implements Courier.
func (b Bicycle) Recall(ctx context.Context, _ string) error { return b.ride(ctx) }

func (b Bicycle) ride(ctx context.Context) error {
	if b.Ride <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.Ride/2 + rand.N(b.Ride)):
		return nil
	}
}

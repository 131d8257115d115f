// Command hello is the smallest whole program: an orchestration, two activities, a worker, a client.
//
//	go run ./examples/hello
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/database"
)

const (
	Greet  durable.Orchestration[string, string] = "greet"
	Fetch  durable.Activity[string, []string]    = "fetch-friends"
	Salute durable.Activity[string, string]      = "salute"
)

// greet is replayed from its history whenever it comes back into memory: what has been done is not done again.
func greet(ctx *durable.Context, name string) (string, error) {
	friends, err := Fetch.Call(ctx, name, durable.Retry{Attempts: 5})
	if err != nil {
		return "", err
	}
	salutes, err := Salute.Map(ctx, friends, durable.Limit(10)) // in parallel, ten at a time
	return strings.Join(salutes, ", "), err
}

func fetch(context.Context, string) ([]string, error) { return []string{"Ada", "Grace"}, nil }

func salute(_ context.Context, name string) (string, error) { return "hello " + name, nil }

func run(ctx context.Context, out io.Writer) error {
	db, err := database.Open(ctx, "", out)
	if err != nil {
		return err
	}
	defer db.Close()
	worker, err := durable.NewWorker(db.Pool, nil, Greet.Handler(greet), Fetch.Handler(fetch), Salute.Handler(salute))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()

	client, err := durable.NewClient(db.Pool)
	if err != nil {
		stop()
		return err
	}
	defer client.Close()
	var answer string
	instance, err := Greet.Start(ctx, client, "Weir")
	if err == nil {
		answer, err = instance.Wait(ctx)
	}
	stop()
	if ran := <-ended; err == nil {
		err = ran
	}
	_, _ = fmt.Fprintln(out, answer)
	return err
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

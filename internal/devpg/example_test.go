//go:build unix

package devpg_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/internal/devpg"
)

// A server on a folder of its own, which a second Start would find as it was.
func ExampleStart() {
	ctx := context.Background()
	scratch, err := devpg.ScratchDir()
	if err != nil {
		log.Fatal(err)
	}
	dir := filepath.Join(scratch, fmt.Sprintf("example-%d", os.Getpid()))
	defer os.RemoveAll(dir)

	srv, err := devpg.Start(ctx, devpg.Options{Dir: dir, Settings: map[string]string{"max_connections": "50"}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Stop(ctx, devpg.Fast)
	if err := srv.CreateDatabase(ctx, "shop"); err != nil {
		log.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, srv.DSN("shop"))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close(ctx)
	var limit string
	if err := conn.QueryRow(ctx, "SHOW max_connections").Scan(&limit); err != nil {
		log.Fatal(err)
	}
	fmt.Println(limit)
	// Output: 50
}

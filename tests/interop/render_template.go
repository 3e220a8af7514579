// Renders a template of an Ollama Modelfile with Go's own text/template, the engine that Ollama uses.
// Input: {"template": "...", "conversations": [[{"Role": "user", "Content": "..."}]]}; output: a list.
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type message struct{ Role, Content string }

type input struct {
	Template      string      `json:"template"`
	Conversations [][]message `json:"conversations"`
}

func main() {
	var given input
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		panic(err)
	}
	parsed := template.Must(template.New("").Option("missingkey=zero").Parse(given.Template))
	rendered := []string{}
	for _, conversation := range given.Conversations {
		system := []string{}
		for _, one := range conversation {
			if one.Role == "system" {
				system = append(system, one.Content)
			}
		}
		var text strings.Builder
		values := map[string]any{"Messages": conversation, "System": strings.Join(system, "\n\n")}
		if err := parsed.Execute(&text, values); err != nil {
			panic(err)
		}
		rendered = append(rendered, text.String())
	}
	if err := json.NewEncoder(os.Stdout).Encode(rendered); err != nil {
		panic(err)
	}
}

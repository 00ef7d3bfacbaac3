# Elixir: a GenServer for each conversation, a pool of agents for each of the two specialists, and a durable write a turn.
#
#     elixir elixir_peer.exs --turns 2000 --concurrency 64 --mode dets --folder FOLDER
#
# The work is the one of peer_work.py. --mode says how the state is kept: `dets` and `mnesia` sync the disk before the
# turn counts; one writer takes all states that wait, writes them together and syncs once for all of them, which is the
# fastest way here. `memory` is an ETS table. All of it, the load too, is one virtual machine. Prints one JSON line.

defmodule Work do
  @context_bytes 4096
  @turns_each 4
  @reply Enum.join(List.duplicate("token", 30), " ")

  def turns_each, do: @turns_each
  def said, do: @reply
  def question(conversation, turn), do: "#{conversation} asks for the #{turn}. time where my order is."

  def handed(conversation, turn) do
    fact = "#{conversation} turn #{turn}: order 4711 was paid twice, the customer wants the second payment back; "
    fact |> String.duplicate(div(@context_bytes, byte_size(fact)) + 1) |> binary_part(0, @context_bytes)
  end

  def reply(context) when byte_size(context) == @context_bytes, do: @reply

  def whole?(conversation, state) do
    state != nil and state.context == handed(conversation, @turns_each) and length(state.messages) == 2 * @turns_each
  end
end

defmodule Store do
  # Keeps states by conversation; put/2 returns once the state is as durable as the mode says.
  use GenServer

  def start_link(mode, folder), do: GenServer.start_link(__MODULE__, {mode, folder}, name: __MODULE__)
  def put(conversation, state), do: GenServer.call(__MODULE__, {:put, conversation, state}, :infinity)

  def init({mode, folder}) do
    open(mode, folder)
    {:ok, mode}
  end

  def handle_call({:put, conversation, state}, from, mode) do
    waiting = waiting([{from, conversation, state}])
    write(mode, for({_, name, kept} <- waiting, do: {name, kept}))
    for {asker, _, _} <- waiting, do: GenServer.reply(asker, :ok)
    {:noreply, mode}
  end

  def terminate(_reason, "dets"), do: :dets.close(:kept)
  def terminate(_reason, _mode), do: :ok

  # Whatever else is in the mailbox goes with the same sync.
  defp waiting(found) do
    receive do
      {:"$gen_call", from, {:put, conversation, state}} -> waiting([{from, conversation, state} | found])
    after
      0 -> found
    end
  end

  def open("memory", _), do: :ets.new(:kept, [:named_table, :public])

  def open("dets", folder) do
    {:ok, _} = :dets.open_file(:kept, file: to_charlist(Path.join(folder, "kept.dets")), auto_save: :infinity)
  end

  def open("mnesia", folder) do
    Application.put_env(:mnesia, :dir, to_charlist(Path.join(folder, "mnesia")))
    Application.put_env(:mnesia, :dump_log_write_threshold, 50_000)
    :mnesia.create_schema([node()])
    :ok = :mnesia.start()
    :mnesia.create_table(:kept, attributes: [:conversation, :state], disc_copies: [node()])
    :ok = :mnesia.wait_for_tables([:kept], 60_000)
  end

  defp write("memory", rows), do: :ets.insert(:kept, rows)

  defp write("dets", rows) do
    :ok = :dets.insert(:kept, rows)
    :ok = :dets.sync(:kept)
  end

  defp write("mnesia", rows) do
    {:atomic, _} = :mnesia.sync_transaction(fn -> for {name, state} <- rows, do: :mnesia.write({:kept, name, state}) end)
    :ok = :mnesia.sync_log()
  end

  # After the process has ended.
  def reopen("dets", folder), do: open("dets", folder)

  def reopen("mnesia", folder) do
    :stopped = :mnesia.stop()
    open("mnesia", folder)
  end

  def get("dets", name), do: for({_, state} <- :dets.lookup(:kept, name), do: state) |> List.first()
  def get("mnesia", name), do: for({_, _, state} <- :mnesia.dirty_read(:kept, name), do: state) |> List.first()
end

defmodule Specialist do
  use GenServer

  def start_link(role), do: GenServer.start_link(__MODULE__, role)
  def init(role), do: {:ok, role}

  def handle_call({conversation, turn, _state}, _from, :first) do
    {:reply, {:handoff, Work.handed(conversation, turn)}, :first}
  end

  def handle_call({_conversation, _turn, state}, _from, :second), do: {:reply, {:reply, Work.reply(state.context)}, :second}

  def pool(role, size) do
    members = for _ <- 1..size, do: elem(start_link(role), 1)
    :persistent_term.put({:pool, role}, List.to_tuple(members))
  end

  def ask(role, question) do
    members = :persistent_term.get({:pool, role})
    GenServer.call(elem(members, :rand.uniform(tuple_size(members)) - 1), question, :infinity)
  end
end

defmodule Conversation do
  use GenServer

  def start_link(name), do: GenServer.start_link(__MODULE__, name)
  def init(name), do: {:ok, %{name: name, owner: :first, context: "", messages: []}}
  def turn(pid, number), do: GenServer.call(pid, {:turn, number}, :infinity)

  def handle_call({:turn, number}, _from, state) do
    state = %{state | owner: :first, messages: [Work.question(state.name, number) | state.messages]}
    {:handoff, context} = Specialist.ask(:first, {state.name, number, state})
    state = %{state | owner: :second, context: context}
    {:reply, said} = Specialist.ask(:second, {state.name, number, state})
    state = %{state | messages: [said | state.messages]}
    :ok = Store.put(state.name, state)
    {:reply, said, state}
  end
end

defmodule Race do
  @warm_up 40
  @looked_at 25

  def run(options) do
    {turns, at_once, mode} = {options[:turns], options[:concurrency], options[:mode]}
    {:ok, _} = Store.start_link(mode, options[:folder])
    for role <- [:first, :second], do: Specialist.pool(role, 16)
    converse(names(@warm_up), at_once)
    names = names(turns)
    {cpu, began} = {cpu_ms(), System.monotonic_time(:microsecond)}
    took = converse(names, at_once)
    {lasted, spent} = {System.monotonic_time(:microsecond) - began, cpu_ms() - cpu}
    IO.puts(line(took, lasted, spent, recovered(mode, options[:folder], names)))
  end

  defp names(turns) do
    run = Base.encode16(:crypto.strong_rand_bytes(6), case: :lower)
    for number <- 1..max(1, div(turns, Work.turns_each())), do: "#{run}-#{number}"
  end

  # Closed: each of the `at_once` conversations waits for its reply before it goes on.
  defp converse(names, at_once) do
    names
    |> Task.async_stream(&conversation/1, max_concurrency: at_once, ordered: false, timeout: :infinity)
    |> Enum.flat_map(fn {:ok, took} -> took end)
  end

  defp conversation(name) do
    {:ok, pid} = Conversation.start_link(name)
    said = Work.said()

    for number <- 1..Work.turns_each() do
      began = System.monotonic_time(:microsecond)
      ^said = Conversation.turn(pid, number)
      System.monotonic_time(:microsecond) - began
    end
  end

  defp recovered("memory", _, _), do: "null"

  defp recovered(mode, folder, names) do
    GenServer.stop(Store)
    Store.reopen(mode, folder)
    some = Enum.take_every(names, max(1, div(length(names), @looked_at)))
    Enum.all?(some, &Work.whole?(&1, Store.get(mode, &1)))
  end

  # Of all threads of the virtual machine.
  defp cpu_ms, do: :erlang.statistics(:runtime) |> elem(0)

  defp line(took, lasted, spent, recovered) do
    turns = length(took)

    ~s({"turns": #{turns}, "seconds": #{Float.round(lasted / 1.0e6, 3)}, ) <>
      ~s("turns_per_s": #{Float.round(turns * 1.0e6 / lasted, 1)}, "p50_ms": #{percentile(took, 0.5)}, ) <>
      ~s("p95_ms": #{percentile(took, 0.95)}, "cpu_ms": {"peer": #{Float.round(spent / turns, 4)}}, ) <>
      ~s("recovered": #{recovered}})
  end

  defp percentile(took, share), do: Enum.at(Enum.sort(took), max(0, ceil(share * length(took)) - 1)) / 1000
end

flags = [turns: :integer, concurrency: :integer, processes: :integer, database_url: :string, database_pid: :integer]
{given, [], []} = OptionParser.parse(System.argv(), strict: flags ++ [folder: :string, mode: :string])
Race.run(Keyword.merge([turns: 200, concurrency: 8, folder: ".", mode: "dets"], given))

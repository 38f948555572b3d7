-- Purpose:   recognise an owner expression that walks from the row to its owner, and say how to walk the rest of the way
--            from any table on it. Then a trigger on that table can tell the former owner and the new one apart from
--            what it has in its hands, whatever rows depend on it.
-- Parameters: definition, that of a view that selects the expression from the table as r, as pg_get_viewdef(…, false)
--            prints it with an empty search path: so written in one way only
-- Returns:   the tables on the way, with the row's nearest first: the columns by which it was reached (linked), the columns
--            that the rest of the way needs (picked), the owner's column (owner), and the rest of the way (onward), to be
--            put after "from <a row of this table> as <alias>". Nothing where the expression is not of that kind.
-- Locks:     none
-- Called by: changefeed.install_parent
--
-- The kind: one sub-select of one column, FROM tables that are joined by nothing but equalities of columns joined by AND,
-- which form a path that begins at r and ends at the table with the owner's column, and that visits each table once;
-- optionally inside coalesce(r.column, …). What is not exactly that is left alone: an OR or a function more, and the
-- owner would no longer follow from the one row.
create function changefeed.chain_of(definition text)
  returns table (relation regclass, alias text, linked text[], picked text[], owner text, onward text)
language plpgsql stable set search_path = pg_catalog
as $chain_of$
declare
  name      constant text := '(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")';
  parts     text[];
  piece     text;
  found     text[];
  aliases   text[] := '{}';   -- of the tables named in FROM
  tables    regclass[] := '{}';
  lefts     text[] := '{}';   -- of the equalities: what stands on each side
  rights    text[] := '{}';
  texts     text[] := '{}';
  steps     integer[] := '{}';  -- and to which table of the way they lead
  way       text[] := '{}';
  place     text := 'r';
  next      text;
begin
  parts := regexp_match(definition, replace(
    '^\s*SELECT \(*(?:COALESCE\(\(?(?:r\.)?NAME\)?(?:::text)?, )?\( SELECT \(?(NAME)\.(NAME)\)?(?:::text)?(?: AS NAME)?'
    '\s+FROM (.*?)\s+WHERE (.*?)(?:::text)?\s+AS owner\s+FROM ', 'NAME', name));
  if parts is null then
    return;
  end if;
  -- With inner joins, AND and equalities alone, parentheses say nothing; other words end up in a piece that is none.
  foreach piece in array regexp_split_to_array(
    regexp_replace(parts[3] || ' WHERE ' || parts[4], replace('\((NAME\.NAME)\)::text', 'NAME', name), '\1::text', 'g'),
    '\s*(?:[(),]|\mJOIN\M|\mON\M|\mAND\M|\mWHERE\M)\s*')
  loop
    continue when piece = '';
    found := regexp_match(piece, replace('^(NAME)\.(NAME)(?:::text)? = (NAME)\.(NAME)(?:::text)?$', 'NAME', name));
    if found is not null then
      lefts := lefts || array[found[1]];
      rights := rights || array[found[3]];
      texts := texts || piece;
      steps := steps || 0;
      continue;
    end if;
    found := regexp_match(piece, replace('^(NAME\.(NAME))(?: (NAME))?$', 'NAME', name));
    if found is null or to_regclass(found[1]) is null or to_regclass(found[1]) = any (tables) then
      return;
    end if;
    tables := tables || to_regclass(found[1]);
    aliases := aliases || coalesce(found[3], found[2]);
  end loop;

  loop
    next := null;
    for i in 1 .. cardinality(texts) loop
      continue when steps[i] > 0 or place not in (lefts[i], rights[i]);
      piece := case lefts[i] when place then rights[i] else lefts[i] end;
      if piece <> all (aliases) or piece = any (way) or piece <> next then
        return;
      end if;
      next := piece;
      steps[i] := cardinality(way) + 1;
    end loop;
    exit when next is null;
    way := way || next;
    place := next;
  end loop;
  if cardinality(way) <> cardinality(aliases) or 0 = any (steps) or place <> parts[1] then
    return;
  end if;

  for i in 1 .. cardinality(way) loop
    relation := tables[array_position(aliases, way[i])];
    alias := way[i];
    owner := parts[1] || '.' || parts[2];
    linked := changefeed.columns_in(texts, steps, i, alias);
    picked := changefeed.columns_in(texts, steps, i + 1, alias) || case when alias = place then parse_ident(parts[2]) end;
    select coalesce(string_agg(format(', %s as %s', tables[array_position(aliases, w.alias)], w.alias), '' order by w.nr), '')
      into onward from unnest(way) with ordinality as w (alias, nr) where w.nr > i;
    select onward || coalesce(' where ' || string_agg(t.piece, ' and '), '')
      into onward from unnest(texts, steps) as t (piece, step) where t.step > i;
    return next;
  end loop;
end
$chain_of$;

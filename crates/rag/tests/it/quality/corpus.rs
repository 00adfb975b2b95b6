//! Documents of an invented allotment society, and questions about them with the documents that answer.

/// Keys and texts.
pub(super) const DOCUMENTS: &[(&str, &str)] = &[
    (
        "rules",
        "# House rules\n\nThe gate is locked at nine in the evening. Members keep their key to themselves.\n\n\
      ## Noise\n\nMowing and sawing are allowed on weekdays until six, and not on Sundays.\n\n## Fires\n\nOpen fires are \
      forbidden from April to October. Braziers need a permit from the warden.",
    ),
    (
        "fees",
        "# Fees\n\nA full plot costs 84 euros a year, half a plot 46. Students and pensioners pay two thirds.\n\n\
      The fee is due on the first of March. Who pays late owes five euros for each month begun.",
    ),
    (
        "waiting-list",
        "# Waiting list\n\nNew members are entered in the order of their letters. In spring the committee \
      offers free plots by telephone; who declines twice goes to the end of the list.",
    ),
    (
        "compost",
        "# Compost\n\nThe heap needs air: turn it every six weeks. Kitchen scraps go in the middle, never meat or \
      bones.\n\nRipe compost is dark, crumbles and smells of the forest floor. It is spread in autumn.",
    ),
    (
        "tomatoes",
        "# Tomatoes\n\nSow indoors in March and plant out after the last frost in mid May. Pinch out the side \
      shoots every week.\n\nBlight shows as brown patches on the leaves. Keep the leaves dry and remove what is infected.",
    ),
    (
        "potatoes",
        "# Potatoes\n\nChit the seed potatoes on a windowsill for four weeks. Earth up the rows when the haulm is a \
      hand high.\n\nColorado beetles are collected by hand in the morning.",
    ),
    (
        "garlic",
        "# Garlic\n\nGarlic cloves go into the ground in October, a thumb deep. It is harvested in July when the \
      lower half of the leaves is yellow, and dried in bundles in the shed.",
    ),
    (
        "bees",
        "# Bees\n\nThe society keeps six hives behind the orchard. The beekeeper is Marta Lindqvist.\n\nStay two \
      metres away from the entrance. Swarms are reported to her at once, day or night.",
    ),
    (
        "orchard",
        "# Orchard\n\nApple trees are pruned in February on frost-free days. Cherries are pruned after the harvest.\n\n\
      The old pear tree at the well is called Wilhelmine and was planted in 1911.",
    ),
    (
        "cider",
        "# Cider day\n\nOn the last Saturday of September the press stands by the barn. Bring washed apples and clean \
      bottles. A hundredweight gives about thirty litres of juice.",
    ),
    (
        "water",
        "# Water\n\nThe pump runs from six to ten in the morning and from five to eight at night. Hoses may be used on \
      even dates by even plots.\n\nIn November the pipes are drained and the meters read.",
    ),
    (
        "tools",
        "# Tool shed\n\nTools are lent for three days. The rotavator costs seven euros a day, and fuel is not \
      included.\n\nBroken tools go on the red shelf with a note of what happened.",
    ),
    (
        "paths",
        "# Paths\n\nEach tenant keeps the path along their plot free of weeds, up to its middle. Gravel lies by the \
      north fence. Weedkiller is not used.",
    ),
    (
        "hedgehogs",
        "# Hedgehogs\n\nLeave a gap of thirteen centimetres under the fence. Heaps of leaves are winter quarters, so \
      they stay until April.\n\nAn injured hedgehog goes to the rescue station in Milbach.",
    ),
    (
        "slugs",
        "# Slugs\n\nCollect slugs at dusk with a torch. Copper tape around raised beds keeps most of them off. Beer \
      traps draw more than they catch.",
    ),
    (
        "seeds",
        "# Seed swap\n\nThe seed swap takes place in the clubhouse on the second Sunday of February. Bags carry the \
      variety, the year and the name of the giver. Hybrid seed is not swapped.",
    ),
    (
        "committee",
        "# Committee\n\nThe chair is Osei Boateng, the treasurer Ingrid Falk and the warden Pavel Novak. They are \
      elected for two years at the general meeting in January.",
    ),
    (
        "clubhouse",
        "# Clubhouse\n\nThe clubhouse can be rented for family parties: forty euros a day, cleaning included. It \
      seats fifty. Music ends at eleven.",
    ),
    (
        "history",
        "# History\n\nThe society was founded in 1908 by railway workers on a disused marshalling yard. In the hungry \
      winter of 1947 potatoes grew even between the rails.",
    ),
    (
        "insurance",
        "# Insurance\n\nSheds are insured against fire and storm up to 1,500 euros. Theft is insured only where a \
      lock was broken. Damage is reported to the treasurer within three days.",
    ),
    (
        "greenhouse",
        "# Greenhouses\n\nA greenhouse may have ten square metres and two and a half metres of height. Glass must be \
      safety glass. The committee decides on applications within a month.",
    ),
    (
        "lawn",
        "# Lawns\n\nA third of a plot may be lawn. Scarify in April, feed in May, and cut no shorter than four \
      centimetres in drought.",
    ),
    (
        "roses",
        "# Roses\n\nRoses are cut back when the forsythia blooms. Black spot is kept away by removing fallen leaves and \
      watering at the root.\n\nClimbing roses need their ties checked after storms.",
    ),
    (
        "children",
        "# Children\n\nThe children's bed by the clubhouse belongs to all children of members. On Wednesdays at four \
      they garden there with Fatima Haddad. Radishes are eaten on the spot.",
    ),
];

/// Questions, and the keys of what answers them.
pub(super) const QUESTIONS: &[(&str, &[&str])] = &[
    ("When is the gate locked?", &["rules"]),
    ("May I light an open fire in summer?", &["rules"]),
    ("May I mow on a Sunday?", &["rules"]),
    ("What does half a plot cost?", &["fees"]),
    ("What happens if I pay late?", &["fees"]),
    ("What if I decline a plot that I am offered?", &["waiting-list"]),
    ("How often should the compost heap be turned?", &["compost"]),
    ("May meat go on the compost?", &["compost"]),
    ("When are tomatoes planted out?", &["tomatoes"]),
    ("What are brown patches on tomato leaves?", &["tomatoes"]),
    ("How long are seed potatoes chitted?", &["potatoes"]),
    ("When is garlic harvested?", &["garlic"]),
    ("Who is the beekeeper?", &["bees"]),
    ("Whom do I tell of a swarm of bees?", &["bees"]),
    ("When are apple trees pruned?", &["orchard"]),
    ("What is the pear tree at the well called?", &["orchard"]),
    ("How much juice does a hundredweight of apples give?", &["cider"]),
    ("At which hours does the pump run?", &["water"]),
    ("What does the rotavator cost?", &["tools"]),
    ("Where do broken tools go?", &["tools"]),
    ("Who keeps the path free of weeds?", &["paths"]),
    ("Where can I take an injured hedgehog?", &["hedgehogs"]),
    ("What keeps slugs off raised beds?", &["slugs"]),
    ("When is the seed swap?", &["seeds"]),
    ("Who is the treasurer?", &["committee", "insurance"]),
    ("Can I rent the clubhouse for a party?", &["clubhouse"]),
    ("Who founded the society?", &["history"]),
    ("Is theft from my shed insured?", &["insurance"]),
    ("How high may a greenhouse be?", &["greenhouse"]),
    ("How short may a lawn be cut in drought?", &["lawn"]),
    ("When are roses cut back?", &["roses"]),
    ("Where did potatoes grow in 1947?", &["history"]),
    ("On which day do the children garden?", &["children"]),
];
